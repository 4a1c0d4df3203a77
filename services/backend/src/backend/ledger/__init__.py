"""The ledger of a conversion: what became of every file and id."""
