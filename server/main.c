/* main.c - the program is its command line: see cli/cli.h */
#include "server/cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
