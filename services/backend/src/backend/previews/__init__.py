"""Pictures of converted textures."""
