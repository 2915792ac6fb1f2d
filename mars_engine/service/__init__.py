"""What the app asks: the desk, the resident worker, uploads, downloads, serving."""
