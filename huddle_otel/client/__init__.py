"""The glue to openai: the patch, the description of a call, the drivers, open bodies and keys."""
