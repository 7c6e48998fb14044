#!/usr/bin/env python
"""Django's command line for Larder; starts the local services for every command that may need them."""

import os
import sys

ALONE = {
    "services",
    "up",
    "prove",
    "help",
    "version",
    "--help",
    "-h",
    "--version",
    "collectstatic",
    "makemessages",
    "compilemessages",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from project import endpoints
    from project.local.server import ServiceError

    try:
        if not ALONE.intersection(sys.argv[1:2] or ["help"]):
            endpoints.start()
        execute_from_command_line(sys.argv)
    except (ServiceError, ImproperlyConfigured) as error:
        sys.exit(f"manage.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say of what Ctrl-C ended
    except Exception as error:
        from project.readiness import explain

        reason = "" if "--traceback" in sys.argv else explain(error)
        if not reason:
            raise
        sys.exit(f"manage.py: {reason}")


if __name__ == "__main__":
    main()
