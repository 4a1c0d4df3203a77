"""The page for operators, and the public view: server-rendered, kept current by the event stream."""
