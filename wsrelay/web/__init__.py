"""The HTTP half of the port: probes, metrics, the API and the chat page as thin twisted.web resources."""
