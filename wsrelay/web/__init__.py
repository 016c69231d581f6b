"""What is served beside the sockets: thin twisted.web resources."""
