"""The studio: films directed in the browser, and the HTTP API that the page is made of.

films      where films live on disk, and what is asked for each; no network, no torch
journal    which films are to be made: the one small file that outlives the server
worker     the child process that makes films, one at a time; nothing else here samples
foreman    the queue, the worker's life, and the events that it sends
insight    plans drawn on film frames, and what a frame was made of
gate       who may come in: hosts, origins, tokens, sizes
app, paths, openapi   the HTTP API and its description
page/      HTML, CSS and ES modules, sent as they are
"""

from __future__ import annotations
