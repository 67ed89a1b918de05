"""`python -m etl` is `spack-cache-to-sqlite`."""

from etl.cli import main

if __name__ == "__main__":
    main(prog_name="spack-cache-to-sqlite")
