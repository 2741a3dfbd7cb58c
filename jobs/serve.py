"""Host base and aligned model of a finished run as a Ray job.

ray job submit --working-dir . -- python jobs/serve.py --from DIR key=value
"""

import sys

from raylign.cli import main  # the job's working directory is on the import path

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
