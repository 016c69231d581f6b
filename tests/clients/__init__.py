"""Published client libraries against a real relay. Their packages are installed by npm; without them the tests skip."""
