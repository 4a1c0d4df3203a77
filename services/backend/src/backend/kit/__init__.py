"""Small parts that several features share."""
