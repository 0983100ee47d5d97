"""The web pages: server-rendered, no inline script, all foreign text escaped."""
