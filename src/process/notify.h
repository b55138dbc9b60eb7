/*
 * Telling a service manager how a process of ours is in systemd's way.
 */
#ifndef PROCESS_NOTIFY_H
#define PROCESS_NOTIFY_H

/* Sends "READY=1" or the like to the socket that NOTIFY_SOCKET names, if there is one. */
void notify_manager(const char *state);

#endif
