from tli.runtime import wrapping as running
from tli.stages import lexicon

with running.job("lexicon", snakemake.wildcards.pair, results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    lexicon.prepare(
        pair=snakemake.wildcards.pair,
        files=list(snakemake.input.files) or snakemake.params.entries,
        **snakemake.params.settings,
        output=snakemake.output.pairs,
        changes=snakemake.output.changes,
        audit=snakemake.output.audit,
    )
