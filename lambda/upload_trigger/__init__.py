"""What an uploaded definition starts: the function's code, packed as it is; its handler is in handler.py."""
