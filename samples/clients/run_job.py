"""Submits a job file to the local workspace and follows it: python samples/clients/run_job.py JOB.yml [CONNECTION.json]"""

import sys

from amlops_local import Local
from azure.ai.ml import load_job

client = Local(*sys.argv[2:3]).ml_client()
job = client.jobs.create_or_update(load_job(sys.argv[1]))
client.jobs.stream(job.name)
print(client.jobs.get(job.name).status)
