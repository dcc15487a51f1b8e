"""The plugin that the tests of the pytest plugin run pytest with; pytest wants it named here."""

pytest_plugins = ["pytester"]
