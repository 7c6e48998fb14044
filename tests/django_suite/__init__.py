"""Django's own tests, run with every queryset cached."""
