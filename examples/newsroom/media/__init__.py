"""The three media of the newsroom, an ASGI application each."""
