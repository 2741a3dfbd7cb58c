"""Compare base and aligned model as a Ray job.

ray job submit --working-dir . -- python jobs/evaluate.py --config jobs/conf/llama3_8b.yaml --out DIR key=value
ray job submit --working-dir . -- python jobs/evaluate.py --out DIR --suite ifeval evaluate.ifeval.path=FILE
"""

import sys

from raylign.cli import main  # the job's working directory is on the import path

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
