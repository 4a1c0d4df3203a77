"""The AI engine: runs conversions in a sandbox, embeds texts, keeps the concept graph."""
