"""Measure a few prompts and state what all of them take, as a Ray job.

ray job submit --working-dir . -- python jobs/plan.py --config jobs/conf/llama3_8b.yaml --out DIR key=value
"""

import sys

from raylign.cli import main  # the job's working directory is on the import path

if __name__ == "__main__":
    sys.exit(main(["plan", *sys.argv[1:]]))
