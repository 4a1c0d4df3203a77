"""What Java ids became in Bedrock, from the knowledge graph."""
