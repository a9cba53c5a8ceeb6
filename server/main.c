/* main.c - the program is its command line: see verbs/verbs.h */
#include "server/verbs/verbs.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
