/* main.c - the program is its command line: see cli.h */
#include "server/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
