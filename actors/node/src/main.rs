//! `megabrain`: what does the command line offer?

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use megabrain_bus::trace::{self, LogFormat};
use megabrain_node::check::{self, PlanArgs};
use megabrain_node::child::{self, ChildArgs};
use megabrain_node::pull_command::PullArgs;
use megabrain_node::up::UpArgs;
use megabrain_node::{cli, demo, pull_command, up};

/// Many models of many kinds on one machine, all at once, working as one mind.
///
/// Start with `megabrain up`; then, in another terminal, `megabrain ask "…" --attach talk.mp3`.
#[derive(Parser)]
#[command(name = "megabrain", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    globals: cli::Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(UpArgs),
    Plan(PlanArgs),
    Demo(demo::DemoArgs),
    Pull(PullArgs),
    #[command(flatten)]
    Cli(cli::Command),
    #[command(hide = true)]
    Child(ChildArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Child(child_arguments) = &arguments.command {
        // This process becomes another program: it returns only if that fails.
        let Err(error) = child::run(child_arguments);
        eprintln!("megabrain child: {error}");
        return ExitCode::FAILURE;
    }
    // One thread: it lives as long as the process, which the death signal of our children hangs on, and a hop between
    // tasks costs no wake-up of another thread.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("megabrain: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_json = arguments.globals.json;
    let outcome = runtime.block_on(dispatch(arguments));
    outcome.unwrap_or_else(|error| cli::report(&error, is_json))
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let json = matches!(&arguments.command, Command::Up(args) if args.log_json);
    let format = if json { LogFormat::Json } else { LogFormat::Text };
    // What its connector has to say comes back as an error, which is told once.
    let filter = match arguments.command {
        Command::Up(_) => "warn,megabrain=info,async_nats::connector=off",
        _ => "warn,async_nats::connector=off",
    };
    let _telemetry = trace::init("megabrain", filter, format);
    match arguments.command {
        Command::Up(args) => up::run(&args, &arguments.globals).await,
        Command::Plan(args) => check::run(&args, &arguments.globals).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Pull(args) => pull_command::run(&args, &arguments.globals).await,
        Command::Cli(command) => cli::run(command, arguments.globals).await,
        Command::Child(_) => Ok(ExitCode::FAILURE),
    }
}
