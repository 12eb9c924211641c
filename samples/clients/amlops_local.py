"""Official Python clients against `amlops up`: what they need to find it and to sign in. Nothing of the clients is changed."""

import json
import os
import socket

from azure.identity import ClientSecretCredential

# Names below localhost are the loopback address (RFC 6761), which many resolvers do not know.
_lookup = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: _lookup(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more
)


class Local:
    """One workspace of `amlops up`. `file`: its connection file; `workspace`: a name, the first one by default."""

    def __init__(self, file=".amlops/connection.json", workspace=None):
        with open(file, encoding="utf8") as text:
            self.connection = up = json.load(text)
        self.place = next(w for w in up["workspaces"] if workspace in (None, w["name"]))
        self.credential = ClientSecretCredential(
            up["tenantId"],
            self.place["clientId"],
            self.place["clientSecret"],
            authority=up["authority"],
            disable_instance_discovery=True,
        )
        # The certificate authority that `amlops up` made on its first start, for requests and for everything else.
        os.environ.update(REQUESTS_CA_BUNDLE=up["ca"], SSL_CERT_FILE=up["ca"], AZURE_ML_DISABLE_ON_DISK_CACHE="true")

    def ml_client(self, registry=None):
        """`MLClient` of the workspace, or of a registry."""
        from azure.ai.ml import MLClient

        cloud = {"cloud": "Local", "cloud_metadata": dict(self.connection["metadata"]), "enable_telemetry": False}
        if registry:
            return MLClient(self.credential, registry_name=registry, **cloud)
        place = self.place
        return MLClient(self.credential, place["subscriptionId"], place["resourceGroup"], place["name"], **cloud)

    def use_mlflow(self):
        """Points `mlflow` at the workspace. The token is good for an hour; call again for another."""
        import mlflow

        manager = self.connection["resourceManager"]
        os.environ["MLFLOW_TRACKING_TOKEN"] = self.credential.get_token(f"{manager}/.default").token
        place = self.place
        first = self.connection["workspaces"][0]
        old, new = (
            f"/subscriptions/{w['subscriptionId']}/resourceGroups/{w['resourceGroup']}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{w['name']}"
            for w in (first, place)
        )
        mlflow.set_tracking_uri(self.connection["mlflowTracking"].replace(old, new))
