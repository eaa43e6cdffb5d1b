"""The one list of cases that all checks of the catalogue run over: adding an entry is adding a line."""
