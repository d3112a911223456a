"""A server of the Model Context Protocol with a tool that reads and one that writes.

Arguments: the port."""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("documents")
documents = ["first"]


@server.tool()
def search_documents(query: str) -> str:
    """Finds documents."""
    return ", ".join(text for text in documents if query in text)


@server.tool()
def add_document(text: str) -> str:
    """Adds a document."""
    documents.append(text)
    return f"{len(documents)} documents"


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
