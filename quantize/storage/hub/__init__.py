"""The Hugging Face Hub as a source of bytes.

    repository  names and commits; `pin` asks the Hub what a repository holds
    files       HubFiles: the repository as a ByteSource. Small files go through the Hub's cache,
                weights by one of the
    routes      Ranges -> http -> connections       exactly the bytes that are asked for
                ReadAhead -> blocks -> http         --stream: blocks ahead of the reader
                WholeFiles -> downloads             convert: files into the cache, in the background
                Shared -> sharing                   in a worker process: ask the first process
    retry       waits between tries; errors says which trouble passes, and what the rest means

With worker processes, the first process alone talks to the Hub:

    first process                          worker process
    files.share(): SharedFilesServer
    Setup with the source, pickled ------> HubFiles with the route Shared
                                           read_into(name, offset, view)
    route.place(name)  <------------------ (name, offset, nbytes)
      on the disk: the path -------------> reads it there, also next time
      else route.read_into: the bytes ---> fills the view
    files.close(): route, then server      ends with its standard input

HubFiles closes its route, and a route what it was made of.
"""
