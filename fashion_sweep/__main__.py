from fashion_sweep.cli import main

if __name__ == "__main__":
    main()
