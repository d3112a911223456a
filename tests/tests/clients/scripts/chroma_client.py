"""What Chroma's own client does; one line of JSON for each step.

Says "ready" and waits for a line before it connects. Arguments: host, port, the steps, and the name of the collection
that `create` makes."""

import json
import sys

import chromadb


def vectors(*values):
    return [[float(value), 1.0, 0.0] for value in values]


def collection(client):
    return client.get_collection("documents", embedding_function=None)


STEPS = {
    "create": lambda client: client.create_collection(sys.argv[-1], embedding_function=None).name,
    "get_or_create": lambda client: client.get_or_create_collection("documents", embedding_function=None).name,
    "list": lambda client: len(client.list_collections()),
    "add": lambda client: collection(client).add(ids=["a", "b"], embeddings=vectors(1, 2), documents=["one", "two"]),
    "upsert": lambda client: collection(client).upsert(ids=["a"], embeddings=vectors(3), documents=["three"]),
    "update": lambda client: collection(client).update(ids=["a"], embeddings=vectors(4), documents=["four"]),
    "delete": lambda client: collection(client).delete(ids=["a"]),
    "drop": lambda client: client.delete_collection("documents"),
    "query": lambda client: collection(client).query(query_embeddings=vectors(1), n_results=2)["ids"],
    "get": lambda client: collection(client).get(ids=["a"])["documents"],
    "count": lambda client: collection(client).count(),
    "peek": lambda client: len(collection(client).peek()["ids"]),
}

print("ready", flush=True)
sys.stdin.readline()
host, port, *steps = sys.argv[1:-1]
client = chromadb.HttpClient(host=host, port=int(port), settings=chromadb.Settings(anonymized_telemetry=False))
for step in steps:
    told = {"step": step}
    try:
        told["ok"] = STEPS[step](client)
    except Exception as error:  # whatever the client raises is what is to be told
        told["error"] = type(error).__name__
        told["message"] = str(error)
    print(json.dumps(told), flush=True)
