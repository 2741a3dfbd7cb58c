"""Train at every point of a grid and compare, as a Ray job.

ray job submit --working-dir . -- python jobs/sweep.py --config jobs/conf/llama3_8b.yaml --out DIR --over key=a,b
"""

import sys

from raylign.cli import main  # the job's working directory is on the import path

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
