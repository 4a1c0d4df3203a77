// Tries a change of policies on what was recorded, then applies it: until the restart, or saved.
