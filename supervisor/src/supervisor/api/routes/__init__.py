"""The HTTP interface by subject; put together by api/app.py."""
