"""The raw form of files: objects by their published names, referring to one another by DBID."""
