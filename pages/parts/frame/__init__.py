"""The frame of every page: sign-in, the page list, forms, the server."""
