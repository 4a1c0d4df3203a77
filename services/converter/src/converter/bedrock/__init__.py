"""Builders of Bedrock content that has mathematics or rules of its own: geometry, block states, components. Pure."""
