"""The queue below ``.queue/``: manifests of cells, claims on them, and who works on what.

It serves whoever runs cells where no parent lives: workers that a person starts on several machines
(`genbench work`), tasks of a scheduler, jobs of another framework. All that they share is a folder.

==========================================  =====================================================
``ULID/manifest.json``, ``orders-N.json``   the cells of a run, written once before anybody works
``ULID/settled/WORKER``                     the orders that a worker has found or seen settled
``ULID/stop``                               somebody asked for the end of it (`genbench stop`)
``claims/KEY.N.json``                       who makes attempt N at a cell; made by an atomic link
``workers/WORKER.json``                     a worker's heartbeat: what counts is that it changes
==========================================  =====================================================

Each attempt at a cell has one claim and one record, and the number of the next follows from the
records: nothing is ever taken back or renamed. Who takes a worker for dead writes the record of its
attempt, if there is none; a record is written once, so a worker that was only paused finds that it
has lost its claim and writes none. No clock of one machine is compared with that of another.
"""
