"""Keeps the concept graph in Neo4j in step with Postgres: what each Java id became, and how many conversions say so."""
