"""MARS: margin and semantic-aware data augmentation for reward modeling (arXiv 2602.17658).

The package is cut by subject; a module imports from folders above it in this list only:

    core           errors, records, configuration, protocols, progress, whole files and folders
    stats          metrics, intervals, the crossed bootstrap, geometry
    store          the database and its migrations
    embeddings     sentence encoders, the cache, distances, semantic maps
    data           loaders, import, hold-out, export, source pairs, the index of pairs
    reward_models  the probe, transformers, training, scoring, triage, cartography
    augment        allocation, gate, refine, paraphrase, generators, quality, composition
    curate         the queue, cards, leases, decisions, label checks, agreement, live figures
    evaluate       held-out evaluation, RewardBench, results, reports
    workspace      a workspace, its generators and backup, rounds
    explore        views, selections, dossiers of pairs
    experiments    plans, methods, cells, their report
    jobs           background runs
    service        what the app asks: the resident worker, uploads, downloads, serving
    cli            commands, options, printing, the demo
"""

__version__ = "0.1.0"
