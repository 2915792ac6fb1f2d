"""What `import mars_engine as mars` offers: a workspace in a script or a notebook, and the method on arrays.

Like the command line, it decides nothing: it opens a workspace, calls the engine and returns what the engine found.
"""
