"""`python -m flowjax_ood COMMAND ...`, also installed as `flowjax-ood`."""

import sys

from flowjax_ood.tool.cli import main

if __name__ == "__main__":
    sys.exit(main())
