"""Decide whether a run's aligned model takes its baseline's place, as a Ray job.

ray job submit --working-dir . -- python jobs/promote.py --run DIR promote.metric=ifeval.prompt_strict key=value
"""

import sys

from raylign.cli import main  # the job's working directory is on the import path

if __name__ == "__main__":
    sys.exit(main(["promote", *sys.argv[1:]]))
