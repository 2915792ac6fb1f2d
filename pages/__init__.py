"""The app's pages: each asks the engine and draws. No SQL, no models."""
