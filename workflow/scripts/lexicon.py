from tli.runtime import wrapping as running
from tli.specs import LexiconSpec, SplitSpec
from tli.stages import lexicon

settings = snakemake.params.settings
with running.job("lexicon", snakemake.wildcards.pair, results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    lexicon.prepare(
        pair=snakemake.wildcards.pair,
        files=list(snakemake.input.files) or snakemake.params.entries,
        spec=LexiconSpec(**settings | {"split": SplitSpec(**settings["split"])}),
        output=snakemake.output.pairs,
        changes=snakemake.output.changes,
        audit=snakemake.output.audit,
    )
