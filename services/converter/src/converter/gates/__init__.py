"""The two gates that an add-on has to pass before a conversion counts: our cross-references, and Mojang's validator."""
