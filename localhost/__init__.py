"""The local Functions host: runs `function_app` where no Functions host is installed (development, tests)."""
