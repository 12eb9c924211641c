"""Submits one job file with the unmodified azure-ai-ml to the workspace of a connection file: what the tasks are measured beside."""
import json
import os
import socket
import sys

connection = json.load(open(sys.argv[1], encoding="utf8"))
os.environ.update(
    REQUESTS_CA_BUNDLE=connection["ca"], SSL_CERT_FILE=connection["ca"], AZURE_ML_DISABLE_ON_DISK_CACHE="true",
    AZURE_TENANT_ID=connection["tenantId"], AZURE_CLIENT_ID=connection["clientId"], AZURE_CLIENT_SECRET=connection["clientSecret"],
)
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *a, **k: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *a, **k)

from azure.ai.ml import MLClient, load_job  # noqa: E402
from azure.identity import ClientSecretCredential  # noqa: E402

credential = ClientSecretCredential(
    connection["tenantId"], connection["clientId"], connection["clientSecret"],
    authority=connection["authority"], disable_instance_discovery=True,
)
workspace = connection["workspaces"][0]
client = MLClient(
    credential, connection["subscriptionId"], workspace["resourceGroup"], workspace["name"],
    cloud="AmlopsLocal", cloud_metadata=connection["metadata"], enable_telemetry=False,
)
print(client.jobs.create_or_update(load_job(sys.argv[2])).name)
