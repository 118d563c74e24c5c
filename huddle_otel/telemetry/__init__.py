"""Events and answers, told as OpenTelemetry spans and metrics. `contract` holds every name."""
