"""How the tests' Python scripts reach an embedded workspace: importing it reads the connection file that is the first argument."""

import json
import os
import socket
import sys

connection = json.load(open(sys.argv[1], encoding="utf8"))
for _name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ[_name] = connection["ca"]
os.environ["AZURE_ML_DISABLE_ON_DISK_CACHE"] = "true"

# Names below localhost are the loopback address (RFC 6761), which many resolvers do not know.
_real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: _real("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)


def client(place=None):
    """azure-ai-ml of a workspace by its name (default: the first; one that the file does not know: beside the first), or of `registry:NAME`."""
    from azure.ai.ml import MLClient
    from azure.identity import ClientSecretCredential

    first = connection["workspaces"][0]
    entry = next((w for w in connection["workspaces"] if w["name"] == place), first)
    credential = ClientSecretCredential(
        connection["tenantId"],
        entry["clientId"],
        entry["clientSecret"],
        authority=connection["authority"],
        disable_instance_discovery=True,
    )
    cloud = {"cloud": "Emulator", "cloud_metadata": connection["metadata"], "enable_telemetry": False, "show_progress": False}
    if place and place.startswith("registry:"):
        return MLClient(credential, registry_name=place[9:], **cloud)
    return MLClient(credential, entry["subscriptionId"], entry["resourceGroup"], place or entry["name"], **cloud)
