"""`huddle-otel prices`: `force` is what is in force, `listing` and `difference` print, `update` asks the gateway."""
